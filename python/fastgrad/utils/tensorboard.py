"""Not there: a SummaryWriter comes with the package tensorboardX, or is written with the package tensorboard."""
raise ImportError("fastgrad.utils.tensorboard is not part of this release; the package tensorboard, or tensorboardX "
                  "with the same SummaryWriter, writes event files")
