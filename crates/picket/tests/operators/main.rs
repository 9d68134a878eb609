//! The commands of operators, as an operator runs them: the built program against a database of the test's own.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod program;
#[cfg(test)]
mod rotation;
