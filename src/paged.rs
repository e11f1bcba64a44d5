//! A vector in pages: growing never moves what it holds, so that a long one grows without a pause.

/// Items in a page.
pub const PAGE_ITEMS: usize = 256;

/// Items by their index, in pages of [`PAGE_ITEMS`]. Only the first page grows as vectors do, so that few items
/// take little room.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// All but the last are full.
    pages: Vec<Vec<T>>,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Paged<T> {
    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.pages
            .last()
            .map_or(0, |last| (self.pages.len() - 1) * PAGE_ITEMS + last.len())
    }

    /// The item of an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE_ITEMS)?.get(index % PAGE_ITEMS)
    }

    /// Adds an item; its index.
    pub fn push(&mut self, item: T) -> usize {
        let index = self.len();
        if index.is_multiple_of(PAGE_ITEMS) {
            let room = if index == 0 { 0 } else { PAGE_ITEMS };
            self.pages.push(Vec::with_capacity(room));
        }
        if let Some(last) = self.pages.last_mut() {
            last.push(item);
        }
        index
    }

    /// Adds items until there are so many.
    pub fn grow_to(&mut self, len: usize, mut make: impl FnMut() -> T) {
        while self.len() < len {
            self.push(make());
        }
    }

    /// All items, by index.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// The items from an index on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = &T> {
        let pages = self.pages.get(index / PAGE_ITEMS..).unwrap_or_default();
        pages.iter().flatten().skip(index % PAGE_ITEMS)
    }
}

impl<T> std::ops::Index<usize> for Paged<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        &self.pages[index / PAGE_ITEMS][index % PAGE_ITEMS]
    }
}

impl<T> std::ops::IndexMut<usize> for Paged<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.pages[index / PAGE_ITEMS][index % PAGE_ITEMS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector_whose_items_stay_where_they_are() {
        let mut paged = Paged::default();
        assert!(paged.get(0).is_none() && paged.iter().next().is_none());
        for i in 0..PAGE_ITEMS * 3 + 7 {
            assert_eq!(paged.len(), i);
            assert_eq!(paged.push(i), i);
        }
        let len = paged.len();
        let at: *const usize = &raw const paged[PAGE_ITEMS];
        paged.grow_to(PAGE_ITEMS * 9, || 0);
        assert_eq!(at, &raw const paged[PAGE_ITEMS]);
        assert_eq!(paged.len(), PAGE_ITEMS * 9);
        assert!(paged.iter().take(len).copied().eq(0..len));
        for from in [0, 1, PAGE_ITEMS - 1, PAGE_ITEMS, len - 1] {
            assert!(
                paged
                    .iter_from(from)
                    .take(len - from)
                    .copied()
                    .eq(from..len)
            );
        }
        assert_eq!(paged.iter_from(PAGE_ITEMS * 9).count(), 0);
        assert_eq!(paged.iter_from(usize::MAX).count(), 0);
        assert_eq!(paged.get(PAGE_ITEMS * 9), None);
        paged[PAGE_ITEMS * 2] = 77;
        assert_eq!(paged.get(PAGE_ITEMS * 2), Some(&77));
    }
}
