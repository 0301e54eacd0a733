"""The read side over HTTP: models, routes and answers of `/api/v1`."""
