"""Stand-ins for what the library talks to: a chat model, an embedding, an OpenAI-compatible server."""
