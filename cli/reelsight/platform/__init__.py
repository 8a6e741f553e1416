"""The whole platform on one machine: real servers, one API, one worker a service, one supervisor."""
