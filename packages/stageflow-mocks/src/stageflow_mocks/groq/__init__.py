"""A server that speaks Groq's protocol on the loopback interface."""
