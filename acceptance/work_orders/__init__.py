"""Work orders: what must stand in one, and how it was followed."""
