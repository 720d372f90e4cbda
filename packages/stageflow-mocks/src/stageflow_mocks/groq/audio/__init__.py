"""Speech in both directions: transcriptions and translations of files, and files of speech."""
