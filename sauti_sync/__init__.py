"""The worker of Sauti, which carries what happened in the database out to calendars and mail, and the command line."""
