"""One thread for tiny tensors, as experiments have by default: idle threads that spin cost more than they give."""

import torch

torch.set_num_threads(1)
