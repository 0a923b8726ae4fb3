//! Flow control of one request on one socket: how many more bytes of its frames the client accepts.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The bytes that a client has granted and the server has not sent yet. All clones share one balance.
#[derive(Debug, Clone)]
pub(crate) struct Credit(Arc<Balance>);

#[derive(Debug)]
struct Balance {
    bytes: Mutex<u64>,
    more: Notify,
}

impl Credit {
    pub(crate) fn new(bytes: u64) -> Self {
        Self(Arc::new(Balance { bytes: Mutex::new(bytes), more: Notify::new() }))
    }

    /// The client accepts so many more bytes.
    pub(crate) fn grant(&self, bytes: u64) {
        let mut balance = self.0.bytes.lock();
        *balance = balance.saturating_add(bytes);
        drop(balance);
        self.0.more.notify_one();
    }

    /// Takes what one frame needs, or says how much is missing.
    pub(crate) fn try_take(&self, bytes: u64) -> Result<(), u64> {
        let mut balance = self.0.bytes.lock();
        *balance = balance.checked_sub(bytes).ok_or_else(|| bytes - *balance)?;
        drop(balance);
        Ok(())
    }

    /// Waits until it can take `bytes`. Only one task waits at a time: that of the request.
    pub(crate) async fn take(&self, bytes: u64) {
        while self.try_take(bytes).is_err() {
            self.0.more.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_frame_is_taken_whole_or_not_at_all() {
        let credit = Credit::new(10);
        assert_eq!(credit.try_take(7), Ok(()));
        assert_eq!(credit.try_take(7), Err(4));
        credit.grant(4);
        assert_eq!(credit.try_take(7), Ok(()));
        credit.grant(u64::MAX);
        credit.grant(u64::MAX);
        assert_eq!(credit.try_take(u64::MAX), Ok(()), "credit without end is no error");
    }

    #[tokio::test]
    async fn who_waits_goes_on_with_enough() {
        let credit = Credit::new(1);
        let waits = credit.take(10);
        tokio::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        credit.grant(8);
        assert!(waits.as_mut().now_or_never().is_none());
        credit.grant(1);
        waits.await;
        assert_eq!(credit.try_take(1), Err(1));
    }
}
