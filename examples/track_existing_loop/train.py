"""A training loop as somebody may have it already; the lines with `run` are all that MLgym adds."""

import argparse
import tempfile
from pathlib import Path

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn

import mlgym

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--storage", default="event_storage")
parser.add_argument("--hub", help="such as http://127.0.0.1:8080")
args = parser.parse_args()

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
inputs, targets = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)  # (samples, 64), (samples,)
order = torch.randperm(len(inputs))
train, val = order[:1400], order[1400:]

model = nn.Sequential(nn.Linear(64, args.hidden), nn.ReLU(), nn.Linear(args.hidden, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
cross_entropy = nn.CrossEntropyLoss()


def confusion(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Gives how often each class (row) was taken for each class (column), (10, 10)."""
    return torch.bincount(10 * labels + predictions, minlength=100).reshape(10, 10)


with mlgym.track("digits-loop", args, storage=args.storage, hub=args.hub) as run:
    step = 0
    for epoch in range(1, args.epochs + 1):
        for batch in train[torch.randperm(len(train))].split(32):
            loss = cross_entropy(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            run.log({"train/loss": loss}, step=step, epoch=epoch - 1)

        with torch.no_grad():
            logits = model(inputs[val])
            predictions = logits.argmax(1)
            table = confusion(predictions, targets[val])
        accuracy = (predictions == targets[val]).float().mean()
        val_loss = cross_entropy(logits, targets[val])
        run.log({"val/accuracy": accuracy, "val/loss": val_loss, "val/confusion": table}, step=step, epoch=epoch)

    figure = Figure()
    figure.subplots().imshow(table)
    run.log_figure("confusion", figure)
    wrong = [f"a {label} for a {taken}" for label, taken in (table - table.diag().diag()).nonzero().tolist()]
    run.log_text("mistakes", "\n".join(wrong))
    with tempfile.TemporaryDirectory() as folder:
        torch.save(model.state_dict(), Path(folder) / "weights.pt")
        run.log_artifact(Path(folder) / "weights.pt")

print(f"mlgym show {run.run_id}")
