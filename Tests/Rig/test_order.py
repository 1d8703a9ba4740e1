"""The checker convicts planted faults, and acquits what the guarantees allow."""
import unittest

from Rig.order import check
from Rig.topic import Message


def judge(versions, committed=None, key="a"):
    """The verdict on one key's versions, in the order of their arrival."""
    expected = range(1, max(versions, default=0) + 1) if committed is None else committed
    return check([Message(key, version, f"{key}{version}", 0) for version in versions],
                 {f"{key}{version}": (key, version) for version in expected})


class OrderTests(unittest.TestCase):
    def test_acquits_what_is_allowed(self):
        for versions in ([], [1], [1, 2, 3], [1, 2, 3, 1, 2, 3, 4], [1, 2, 2, 3], [1, 2, 1, 2, 1, 2, 3], [1, 2, 3, 3]):
            self.assertTrue(judge(versions).holds(), versions)

    def test_convicts_a_key_that_ends_with_an_old_message(self):
        self.assertEqual(judge([1, 2, 3, 1]).stale, [("a", 1, 3)])
        self.assertFalse(judge([1, 2, 3, 1]).holds())

    def test_convicts_a_gap(self):
        self.assertEqual(judge([1, 3], committed=[1, 3]).reordered, [("a", 1, 3)])
        self.assertEqual(judge([2, 3], committed=[2, 3]).reordered, [("a", 0, 2)])

    def test_convicts_a_swap(self):
        self.assertFalse(judge([1, 3, 2, 3]).holds())

    def test_convicts_a_redelivery_that_leaves_something_out(self):
        self.assertEqual(judge([1, 2, 3, 1, 3, 4]).reordered, [("a", 1, 3)])
        self.assertEqual(judge([1, 2, 3, 1, 4]).reordered, [("a", 1, 4)])

    def test_convicts_a_loss(self):
        self.assertEqual(judge([1, 2], committed=[1, 2, 3]).lost, [("a3", "a", 3)])
        self.assertFalse(judge([], committed=[1]).holds())

    def test_convicts_a_double_where_none_is_allowed(self):
        verdict = judge([1, 2, 2])
        self.assertEqual([message.version for message in verdict.doubles], [2])
        self.assertTrue(verdict.holds())
        self.assertFalse(verdict.holds(doubles_allowed=False))

    def test_convicts_a_stranger_and_a_message_under_another_key_or_version(self):
        committed = {"a1": ("a", 1)}
        for message in (Message("a", 1, "other", 0), Message("b", 1, "a1", 0), Message("a", 2, "a1", 0)):
            verdict = check([Message("a", 1, "a1", 0), message], committed)
            self.assertEqual(verdict.foreign, [message])
            self.assertFalse(verdict.holds())

    def test_convicts_a_key_in_two_partitions(self):
        messages = [Message("a", 1, "a1", 0, 0), Message("a", 2, "a2", 0, 1)]
        verdict = check(messages, {"a1": ("a", 1), "a2": ("a", 2)})
        self.assertEqual(verdict.scattered, [("a", 0, 1)])
        self.assertFalse(verdict.holds())

    def test_convicts_a_transaction_of_which_a_part_arrived(self):
        committed, together = {"a1": ("a", 1), "b1": ("b", 1), "b2": ("b", 2)}, {"a1": 7, "b1": 7, "b2": 8}
        verdict = check([Message("a", 1, "a1", 0)], committed, together)
        self.assertEqual(verdict.torn, [7])
        self.assertEqual(dict(verdict.anomalies())["torn-transaction"], 1)
        self.assertFalse(verdict.holds())

    def test_judges_keys_apart(self):
        messages = [Message("a", 1, "a1", 0), Message("b", 1, "b1", 0), Message("a", 2, "a2", 0), Message("b", 1, "b1", 0)]
        verdict = check(messages, {"a1": ("a", 1), "a2": ("a", 2), "b1": ("b", 1)})
        self.assertTrue(verdict.holds())
        self.assertEqual(len(verdict.doubles), 1)


if __name__ == "__main__":
    unittest.main()
