"""A plain PyTorch script; the one line for the service is `tuner.report`, which does nothing when the script runs alone.

python examples/train_script.py --learning_rate=0.1                # alone
tuner submit examples/train_script.yaml                            # tuned
tuner run train-script --slots 2 -- python examples/train_script.py
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import cross_entropy

import tuner

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.05)
parser.add_argument("--width", type=int, default=32)
parser.add_argument("--activation", choices=["relu", "tanh"], default="relu")
parser.add_argument("--epochs", type=int, default=15)
arguments = parser.parse_args()

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
pixels, digits = load_digits(return_X_y=True)
parts = train_test_split(pixels / 16, digits, stratify=digits, random_state=0)
x_train, x_validation = (torch.tensor(part, dtype=torch.float32, device=device) for part in parts[:2])
y_train, y_validation = (torch.tensor(part, device=device) for part in parts[2:])

activation = {"relu": nn.ReLU(), "tanh": nn.Tanh()}[arguments.activation]
network = nn.Sequential(nn.Linear(64, arguments.width), activation, nn.Linear(arguments.width, 10)).to(device)
optimizer = torch.optim.SGD(network.parameters(), lr=arguments.learning_rate, momentum=0.9)

for epoch in range(1, arguments.epochs + 1):
    for rows in torch.randperm(len(x_train), device=device).split(64):
        optimizer.zero_grad()
        cross_entropy(network(x_train[rows]), y_train[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        logits = network(x_validation)
    val_loss = cross_entropy(logits, y_validation).item()
    val_accuracy = (logits.argmax(1) == y_validation).float().mean().item()
    print(f"epoch {epoch}: loss {val_loss:.3f}, accuracy {val_accuracy:.3f}")
    tuner.report(epoch, {"val_loss": val_loss, "val_accuracy": val_accuracy})
