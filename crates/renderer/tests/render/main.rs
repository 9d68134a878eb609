//! Whole documents, the PDF by the real child process, and the role on a real stack. Documents stay in the build folder,
//! to be looked at.

#[cfg(test)]
mod documents;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod role;
#[cfg(test)]
mod sample;
