"""Content Credentials (C2PA): the museum's certificate, signed copies of derivatives, and their verification."""
