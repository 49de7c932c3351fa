"""The realtime protocol: calls over a WebSocket with the event names of OpenAI's Realtime API. docs/realtime.md."""
