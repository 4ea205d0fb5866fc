//! Items split into messages: long ones are refused.

use super::ITEMS_BYTES;

/// Splits items into messages of about [`ITEMS_BYTES`] at most.
pub(super) fn batches<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let size = size(&item);
        match batches.last_mut() {
            Some(batch) if size <= room => {
                batch.push(item);
                room -= size;
            }
            _ => {
                batches.push(vec![item]);
                room = ITEMS_BYTES.saturating_sub(size);
            }
        }
    }
    batches
}
