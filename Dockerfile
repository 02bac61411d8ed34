# One image for every part of the service: `tuner server`, `tuner maintenance`, `tuner worker`.
FROM python:3.12-slim

RUN useradd --uid 1000 --create-home tuner && install --directory --owner tuner /data
WORKDIR /opt/tuner
COPY pyproject.toml constraints.txt README.md ./
COPY api api
COPY migrations migrations
COPY trainers trainers
COPY tuner tuner
# torch from the index has CUDA in it, and runs on the CPU where there is no card
RUN pip install --no-cache-dir --constraint constraints.txt .

USER tuner
ENV TUNER_DATA=/data
CMD ["tuner", "--help"]
