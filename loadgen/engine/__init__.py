"""The hot path: send, stamp, record. Imports only `load` and `errors`, and no pydantic, SQLAlchemy, FastAPI or YAML."""
