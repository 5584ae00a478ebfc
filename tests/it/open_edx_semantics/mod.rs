//! The `badges` app that Open edX had, and ours, row by row.
//!
//! The app's answers were computed with Django's `slugify` (of version 2.2, and of 3.2 and later where it differs),
//! opaque-keys 4 and the rules of the app's `course_complete`, `course_meta` and `utils`. Where ours is another, the row
//! says why.

mod configurations;
mod rules;
mod slugs;
