//! A target broken on purpose, to show that the cases notice.
