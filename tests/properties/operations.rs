//! Operations on the wheel, on outboxes and on compressed messages, at random.
//! Not what must come of them: `bodies::wheel`, `bodies::outbox` and `bodies::inflate` say that.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::bodies;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn the_wheel_does_what_a_map_ordered_by_time_would(
        start in any::<u8>(), operations in vec((any::<u8>(), any::<u16>()), 0..200),
    ) {
        let mut script = vec![start];
        for (operation, ahead) in operations {
            script.push(operation);
            script.extend(ahead.to_le_bytes());
        }
        bodies::wheel::run(&script);
    }

    #[test]
    fn an_outbox_does_what_a_plain_list_would(
        start in any::<u8>(), operations in vec(any::<[u8; 2]>(), 0..200),
    ) {
        bodies::outbox::run(&[vec![start], operations.concat()].concat());
    }

    #[test]
    fn a_compressed_message_comes_back_or_is_refused_and_never_passes_the_limit(
        start in any::<[u8; 5]>(), messages in vec((any::<u8>(), vec(any::<u8>(), 0..40)), 0..12),
    ) {
        let mut script = start.to_vec();
        for (how, payload) in messages {
            script.extend([how, payload.len() as u8]);
            script.extend(payload);
            script.extend([how.rotate_left(3), how.rotate_left(5), how]);
        }
        bodies::inflate::run(&script);
    }
}
