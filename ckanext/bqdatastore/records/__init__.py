"""JSON records become Arrow, and Arrow becomes the API's output formats; knows no engine."""
