"""The picture: well-formed, in its frame, and drawn from the right columns."""

import re
import unittest
from xml.etree import ElementTree

from endurance import plot
from endurance.test_judge import a_story


def a_picture(minutes=60):
    """The picture of a healthy run."""
    story = a_story(minutes)
    record = {"samples": story.samples, "minutes": story.minutes + 1, "rounds": story.rounds, "opened": 12345,
              "messages": 67890, "zombies": 7, "command": "tests/soak & more", "machine": "a machine"}
    return plot.document(record, story.warm_minutes)


class Drawn(unittest.TestCase):
    """One property each."""

    def test_it_is_well_formed_and_loads_nothing(self):
        picture = a_picture()
        ElementTree.fromstring(picture)
        self.assertNotIn("http", picture.replace('xmlns="http://www.w3.org/2000/svg"', ""))
        self.assertIn("prefers-color-scheme: dark", picture)
        self.assertIn("tests/soak &amp; more", picture)

    def test_every_line_stays_in_the_frame(self):
        picture = a_picture()
        height = float(re.search(r'height="(\d+)"', picture).group(1))
        drawn = re.findall(r'<path d="M([^"]*)" class="line', picture)
        self.assertGreaterEqual(len(drawn), 10)
        for line in drawn:
            for point in line.split("L"):
                x, y = map(float, point.split())
                self.assertTrue(plot.MARGIN <= x <= plot.WIDTH - plot.MARGIN and 0 < y < height, point)

    def test_a_scale_has_few_round_steps_and_ends_above_all(self):
        for most in (0.4, 1, 3, 7.7, 99, 100, 101, 20_044):
            panel = plot.Panel("", "", [plot.Line("", [(0, most)])])
            self.assertGreaterEqual(panel.top, most)
            self.assertLessEqual(panel.top / panel.step(panel.top), 5.001)

    def test_rates_are_a_minute_whatever_the_distance(self):
        samples = [{"minute": 0, "n": 0}, {"minute": 1, "n": 10}, {"minute": 3, "n": 50}]
        self.assertEqual(plot.rates(samples, lambda sample: sample["n"]), [(1, 10.0), (3, 20.0)])

    def test_a_run_that_was_broken_off_has_a_picture_too(self):
        for kept in (1, 2, 3):
            story = a_story()
            record = {"samples": story.samples[:kept], "minutes": 1.0, "rounds": 0, "opened": 0, "messages": 0,
                      "zombies": 0, "command": "", "machine": ""}
            ElementTree.fromstring(plot.document(record, 10.0))


if __name__ == "__main__":
    unittest.main()
