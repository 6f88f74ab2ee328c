"""Training: losses, schedules, optimiser, noise, step, devices, checkpoints, loop and logs."""
