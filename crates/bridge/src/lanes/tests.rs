//! What the lane task knows of whom, without a store.

use super::*;

/// Has nothing and takes nothing.
struct Nobody;

impl Depot for Nobody {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn read(&self, _: Vec<ChatRef>) -> BoxFuture<'static, Read> {
        Box::pin(std::future::ready(Read::new()))
    }

    fn hand_over(&self, _: &NetworkId, _: Delivery) -> bool {
        false
    }

    fn close(self: Arc<Self>, _: ChatRef, _: DeliveryId) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn keep(&self, _: Dropped) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn chat(network: &str, chat: &str) -> ChatRef {
    ChatRef { network: network.into(), chat: chat.into() }
}

fn board(depot: &Arc<Nobody>) -> Board<Nobody> {
    let mut board = Board::new(Arc::downgrade(depot), Dropped::new());
    for lane in [chat("net:a", "c"), chat("net:a", "d"), chat("net:b", "c")] {
        board.take(Signal::Wake(lane));
    }
    board
}

#[test]
fn nothing_is_kept_of_an_account_that_was_removed() {
    let depot = Arc::new(Nobody);
    let mut board = board(&depot);
    board.dropped.entry(chat("net:a", "c")).or_default().again(DeliveryId(1));
    board.take(Signal::Removed("net:a".into()));
    assert_eq!(board.lines.keys().collect::<Vec<_>>(), [&NetworkId::from("net:b")]);
    assert!(board.dropped.is_empty());
    // A read that was under way comes to nothing.
    board.got(chat("net:a", "c"), Ok(None));
    assert_eq!(board.mark(&chat("net:a", "c")), None);
    board.check();
}

#[test]
fn an_account_that_was_added_again_keeps_its_lanes() {
    let depot = Arc::new(Nobody);
    let mut board = board(&depot);
    board.take(Signal::Up("net:a".into()));
    board.take(Signal::Removed("net:a".into()));
    assert!(board.lines.get(&"net:a".into()).is_some_and(|line| line.is_up));
    assert_eq!(board.mark(&chat("net:a", "d")), Some(Mark::Ready));
}

#[test]
fn whoever_goes_down_or_has_nothing_more_is_found_by_what_it_has_in_hand() {
    let depot = Arc::new(Nobody);
    let mut board = board(&depot);
    for (chat, id) in [("c", 1), ("d", 2)] {
        board.set(&self::chat("net:a", chat), Some(Mark::InHand(DeliveryId(id))));
    }
    board.take(Signal::Gone("net:b".into(), DeliveryId(2)));
    assert_eq!(board.mark(&chat("net:a", "d")), Some(Mark::InHand(DeliveryId(2))), "it is another network's");
    board.take(Signal::Gone("net:a".into(), DeliveryId(2)));
    assert_eq!(board.mark(&chat("net:a", "d")), Some(Mark::Ready));
    let (done, mut is_done) = oneshot::channel();
    board.take(Signal::Down("net:a".into(), done));
    assert_eq!(is_done.try_recv(), Ok(()));
    let dropped: Vec<&ChatRef> = board.dropped.keys().collect();
    assert_eq!(dropped, [&chat("net:a", "c")], "only what was in hand");
}
