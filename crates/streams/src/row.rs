//! Rows as bytes: compared as bytes they sort as the rows do, and they are read back into columns.
