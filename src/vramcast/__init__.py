"""vramcast forecasts GPU memory."""
