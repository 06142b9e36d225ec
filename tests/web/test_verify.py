"""The cards of the Verify tab: the answer, who spoke and who did not, and what was done."""

from meddiff.verify import Answer, Change, Evidence, Verdict
from meddiff.web.verify import card, cards

MARK = Evidence("mark", "The invisible mark in the pixels says MD-0123456789ab.", "MD-0123456789ab", 1e-7)
LOOKS = Evidence("fingerprint", "Its looks are those of the kept case MD-0123456789ab.", "MD-0123456789ab", 1e-7)


def verdict(answer: Answer = Answer.OURS, evidence=(MARK,), changes=(), **more) -> Verdict:
    return Verdict("/tmp/x", answer, "It is.", "MD-0123456789ab", "case", "Very sure.", evidence, changes, **more)


def test_a_card_says_which_of_mark_and_fingerprint_spoke():
    by_mark, by_looks = card(verdict(), "x.png"), card(verdict(evidence=(LOOKS,)), "x.png")
    assert "<b>Mark</b>" in by_mark and "<b>Fingerprint</b>" not in by_mark and "No kept case was recognised" in by_mark
    assert "<b>Fingerprint</b>" in by_looks and "<b>Mark</b>" not in by_looks and "No invisible mark" in by_looks


def test_a_stranger_is_no_alarm_and_an_altered_picture_is():
    stranger = card(Verdict("/tmp/x", Answer.UNKNOWN, "Nothing speaks."), "x.png")
    altered = card(verdict(Answer.ALTERED, changes=(Change("mirrored", "It is mirrored.", False),)), "x.png")
    assert "md-unsure" in stranger and "md-alert" not in stranger
    assert "md-alert" in altered and 'class="missed">Mirrored<' in altered


def test_of_an_outline_no_mark_is_missed():
    shown = card(Verdict("/tmp/x", Answer.OURS, "It is.", "MD-0123456789ab", "outline"), "x.png")
    assert "Mark" not in shown and "Fingerprint" not in shown


def test_frames_of_which_the_same_is_told_share_a_card():
    frames = [verdict(frame=number, frames=4) for number in (1, 2, 3)] + [verdict(evidence=(LOOKS,), frame=4, frames=4)]
    shown = cards(frames, "x.gif")
    assert shown.count("<h2>") == 2 and "frames 1 to 3 of 4" in shown and "frame 4 of 4" in shown


def test_words_of_a_file_are_shown_as_words():
    assert "<script>" not in card(verdict(evidence=(Evidence("record", "<script>"),)), "<script>.png")
