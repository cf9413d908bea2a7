import torch
from torch import nn

net = nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 4)).cuda()
net(torch.randn(3, 4, device="cuda"))
