"""A hand made by arithmetic, and what the shipped model sees in it."""
