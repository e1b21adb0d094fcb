//! The arithmetic of limits: pure, time passed in. Each algorithm has a twin in Lua beside it.

pub(crate) mod fixed_window;
