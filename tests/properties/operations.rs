//! Operations on the wheel and on outboxes, at random.
//! Not what must come of them: `bodies::wheel` and `bodies::outbox` say that.

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
}
