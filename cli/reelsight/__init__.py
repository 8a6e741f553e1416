"""`reel`: the platform on one machine, the demo, and a client of the API."""
