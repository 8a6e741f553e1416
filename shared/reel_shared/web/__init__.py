"""The web app that every service shares: ``app.create_app``, authentication, problems, jobs over HTTP."""
