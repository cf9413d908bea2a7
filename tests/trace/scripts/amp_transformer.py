import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--debug", action="store_true")
options = parser.parse_args()

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
assert device.type == "cuda"
torch.manual_seed(0)
torch.cuda.manual_seed_all(0)
layer = nn.TransformerEncoderLayer(options.width, 4, 4 * options.width, batch_first=True)
model = nn.Sequential(nn.Embedding(100, options.width), nn.TransformerEncoder(layer, 2), nn.Linear(options.width, 100))
model.to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
scaler = torch.amp.GradScaler("cuda")
data = torch.utils.data.TensorDataset(torch.randint(0, 100, (64, 33)))
loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True, num_workers=2, pin_memory=True)

for (tokens,) in loader:
    tokens = tokens.to(device, non_blocking=True)
    with torch.autocast("cuda", dtype=torch.float16):
        logits = model(tokens[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    print(f"loss {loss.item():.3f}, {torch.cuda.max_memory_allocated() / 2**20:.1f} MiB, debug {options.debug}")
torch.save(model.state_dict(), "never-written.pt")
