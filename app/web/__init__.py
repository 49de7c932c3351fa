"""The browser app: its page, the routes behind it, and the replies that it shows while they are made."""
