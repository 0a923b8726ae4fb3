//! The program from outside: the real binary, real servers, real clients.

mod tidy;
