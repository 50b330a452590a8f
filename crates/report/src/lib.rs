//! Tables and verdicts to cards, figures, the index and sentences to cite. Reads files, trains nothing.
//!
//! Every number is filled from a table; the templates in `templates/` hold the words around them.

mod card;
mod cite;
mod claim;
mod error;
mod explain;
mod figure;
mod grid;
mod index;
mod number;
mod results;
mod scores;
mod sizes;
mod svg;
mod tables;
mod template;
#[cfg(test)]
mod testing;
mod tuning;

pub use card::{Mode, experiment_report};
pub use cite::cite;
pub use error::ReportError;
pub use explain::explain;
pub use index::{headline, index};
