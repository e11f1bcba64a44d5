//! A vector in pages: growing never moves what it holds, so that a long one grows without a pause. Pages of which
//! nothing is used any more can be given back; their items are absent then, as those that were never made.

/// Items in a page.
pub const PAGE_ITEMS: usize = 256;

/// Items by their index, in pages of [`PAGE_ITEMS`]. Only the first page grows as vectors do, so that few items
/// take little room.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// Each holds its first items, up to the last one that was made.
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Paged<T> {
    /// One more than the highest index in use.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The item of an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE_ITEMS)?.get(index % PAGE_ITEMS)
    }

    /// The item of an index, to be changed.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let page = self.pages.get_mut(index / PAGE_ITEMS)?;
        page.get_mut(index % PAGE_ITEMS)
    }

    /// The item of an index, made where it is absent, with those before it in its page.
    #[inline]
    pub fn get_or_make(&mut self, index: usize, make: impl FnMut() -> T) -> &mut T {
        let (page, at) = (index / PAGE_ITEMS, index % PAGE_ITEMS);
        if self.pages.get(page).is_none_or(|page| page.len() <= at) {
            self.make(index, make);
        }
        &mut self.pages[page][at]
    }

    #[cold]
    fn make(&mut self, index: usize, make: impl FnMut() -> T) {
        self.reserve(index + 1);
        let page = &mut self.pages[index / PAGE_ITEMS];
        if index >= PAGE_ITEMS {
            page.reserve_exact(PAGE_ITEMS - page.len());
        }
        page.resize_with(index % PAGE_ITEMS + 1, make);
    }

    /// Indices below this are in use from now on: [`Self::push`] takes none of them.
    pub fn reserve(&mut self, len: usize) {
        let pages = len.div_ceil(PAGE_ITEMS);
        if self.pages.len() < pages {
            self.pages.resize_with(pages, Vec::new);
        }
        self.len = self.len.max(len);
    }

    /// Adds an item behind all others; its index.
    pub fn push(&mut self, item: T) -> usize
    where
        T: Default,
    {
        let index = self.len;
        *self.get_or_make(index, T::default) = item;
        index
    }

    /// All items that are there, by index.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// All items that are there, by index.
    pub fn into_items(self) -> impl Iterator<Item = T> {
        self.pages.into_iter().flatten()
    }

    /// All items that are there with their indices, from one on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = (usize, &T)> {
        let first = index / PAGE_ITEMS;
        let pages = self.pages.get(first..).unwrap_or_default();
        pages.iter().enumerate().flat_map(move |(page, items)| {
            let start = (first + page) * PAGE_ITEMS;
            let items = items.iter().enumerate();
            let items = items.skip(index.saturating_sub(start));
            items.map(move |(at, item)| (start + at, item))
        })
    }

    /// Gives back the page of an index if nothing of it is used. The last page stays: it is still growing.
    pub fn give_back(&mut self, index: usize, mut is_unused: impl FnMut(&T) -> bool) -> bool {
        let page = index / PAGE_ITEMS;
        if page + 1 >= self.pages.len() {
            return false;
        }
        let items = &mut self.pages[page];
        let unused = !items.is_empty() && items.iter().all(&mut is_unused);
        if unused {
            *items = Vec::new();
        }
        unused
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
        *paged.get_or_make(PAGE_ITEMS * 9, || 0) = 99;
        assert_eq!(at, &raw const paged[PAGE_ITEMS]);
        assert_eq!(paged.len(), PAGE_ITEMS * 9 + 1);
        assert!(paged.iter().take(len).copied().eq(0..len));
        for from in [0, 1, PAGE_ITEMS - 1, PAGE_ITEMS, len - 1] {
            let found = paged.iter_from(from).take(len - from);
            assert!(
                found
                    .map(|(at, &item)| (at, item))
                    .eq((from..len).map(|i| (i, i)))
            );
        }
        // Pages that nobody asked for are not there.
        let last = (PAGE_ITEMS * 9, &99);
        assert_eq!(paged.iter_from(len).collect::<Vec<_>>(), [last]);
        assert_eq!(paged.get(PAGE_ITEMS * 5), None);
        assert_eq!(paged.iter_from(usize::MAX).count(), 0);
        paged[PAGE_ITEMS * 2] = 77;
        assert_eq!(paged.get(PAGE_ITEMS * 2), Some(&77));
        paged.reserve(PAGE_ITEMS * 20);
        assert_eq!(paged.push(5), PAGE_ITEMS * 20);
        assert_eq!(paged.get_mut(PAGE_ITEMS * 20), Some(&mut 5));
        assert_eq!(paged.get(PAGE_ITEMS * 19), None);
    }

    #[test]
    fn a_page_of_which_nothing_is_used_is_given_back_and_made_again() {
        let mut paged = Paged::default();
        for i in 0..=PAGE_ITEMS * 2 {
            paged.push(Some(i));
        }
        for i in 0..PAGE_ITEMS {
            assert!(!paged.give_back(i, Option::is_none));
            paged[i] = None;
        }
        assert!(paged.give_back(3, Option::is_none));
        assert!(!paged.give_back(3, Option::is_none), "once");
        assert!(
            !paged.give_back(PAGE_ITEMS * 2, |_| true),
            "it is still growing"
        );
        assert_eq!((paged.get(3), paged.len()), (None, PAGE_ITEMS * 2 + 1));
        assert_eq!(
            paged.iter_from(0).next().map(|(at, _)| at),
            Some(PAGE_ITEMS)
        );
        *paged.get_or_make(9, || None) = Some(9);
        assert_eq!(
            (paged.get(9), paged.get(3), paged.get(10)),
            (Some(&Some(9)), Some(&None), None)
        );
        assert_eq!(paged.push(None), PAGE_ITEMS * 2 + 1);
    }
}
