"""The local stack: a Supabase project of real parts on this machine, for development, the demo and the tests."""
