"""Pages for people: self-contained HTML files, in English and Korean, that need no network."""
