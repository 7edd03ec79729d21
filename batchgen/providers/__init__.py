"""What a provider is, as data: profiles, their models' rules, and how a wish becomes a request's shape."""
