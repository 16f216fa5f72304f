//! sqllogictest.
