def wsgi_app(engine):
    def app(environ, start_response):
        start_response("404 Not Found", [("content-type", "text/plain")])
        return [b"placeholder"]

    return app
