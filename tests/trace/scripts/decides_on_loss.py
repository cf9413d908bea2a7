import torch
from torch import nn

model = nn.Linear(8, 8).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
best = float("inf")
for step in range(100):
    loss = model(torch.randn(4, 8, device="cuda")).square().mean()
    if torch.isnan(loss).any() or not torch.isfinite(loss):
        raise SystemExit("diverged")
    loss.backward()
    optimizer.step()
    if loss.item() < best:
        best = loss.item()
    if loss < 0.1:
        break
    print(step, loss, loss.tolist(), loss.detach().cpu().numpy())
