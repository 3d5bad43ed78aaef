"""A Stripe-shaped account in memory, and the HTTP server that shows it as Stripe's API does."""
