"""What surrounds a draft: recent posts, the thread, the channel."""

from datetime import UTC, datetime

import pytest

from softanswer.cues.context import CONTEXT, Past, find_breaches, find_context, load_channels
from softanswer.domain import Context, DataFault, Message, RecentPost
from softanswer.text import read_text


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 5, 4, hour, minute, tzinfo=UTC)


def among(text, recent=(), said=(), kind="post", publish_at=None, sells=lambda visible: "%" in visible):
    found = find_context(read_text(text, "plain"), kind, recent, said, publish_at, sells)
    return [m.cue.id for m in found]


@pytest.mark.parametrize(
    "recent, cue",
    [
        ([("Fresh bread every morning from seven at our shop", 1)], "spam.repetition.near_duplicate"),
        ([("Fresh bread\u0301 every morning from seven at our shop", 1)], "spam.repetition.near_duplicate"),
        ([("x", 8), ("y", 9), ("z", 10), ("w", 11)], "spam.cadence.too_many"),
        ([("x", 11)], "spam.cadence.too_close"),
        ([("Something else entirely about our new opening hours", 1)], None),
    ],
)
def test_recent_posts(recent, cue):
    posts = [Past(text, at(hour, 50)) for text, hour in recent]
    found = among("Fresh bread every morning from seven at our shop!", posts, publish_at=at(12))
    assert found == ([cue] if cue else [])


@pytest.mark.parametrize(
    "text, recent, told",
    [
        ("10% off tea", 5 * ["20% off"], True),
        ("Our oven died today", 5 * ["20% off"], False),
        ("10% off tea", 3 * ["20% off"], False),
        ("10% off tea", ["20% off", *4 * ["a story"]], False),
        ("10% off tea", [*20 * ["a story"], *9 * ["20% off"]], True),
    ],
)
def test_a_page_that_only_sells(text, recent, told):
    assert ("spam.cadence.promotions" in among(text, [Past(r) for r in recent])) == told


def test_posts_are_counted_by_when_they_were_published():
    recent = [Past("20% off", at(i)) for i in range(12, 21)] + [Past("a story", at(i)) for i in range(11)]
    assert "spam.cadence.promotions" in among("10% off", recent)


def test_a_template_that_was_sent_before_is_noticed_in_replies():
    words = "We are sorry to hear this. Please send us your order number by message."
    assert among(words, said=[words], kind="reply") == ["relevance.template.repeated"]
    assert among(words, said=["Your parcel is on the van."], kind="reply") == []
    assert among(words, said=[words], kind="post") == []


def test_the_cues_of_context_are_like_the_others():
    assert len({cue.id for cue in CONTEXT}) == len(CONTEXT)


# --- channels ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def channels():
    return load_channels()


def breaches(channel, text, kind="post", matches=(), sells=False):
    source = read_text(text, "plain")
    return {m.cue.id: source.slice(m.span) for m in find_breaches(source, kind, matches, channel, sells)}


def test_the_channels_of_the_contract_are_there(channels):
    assert list(channels) == [
        "facebook", "instagram", "x", "linkedin", "youtube", "tiktok", "pinterest", "email", "sms", "blog",
    ]  # fmt: skip


def test_every_rule_has_its_public_source(channels):
    assert all(cue.source for channel in channels.values() for cue in channel.cues.values())


def test_what_is_over_the_limit_is_pointed_at(channels):
    text = 280 * "a" + " and more"
    assert breaches(channels["x"], text) == {"spam.channel.x_max_chars": " and more"}
    assert breaches(channels["x"], text[:280]) == {}


@pytest.mark.parametrize(
    "chars, link, cut",
    [
        pytest.param(256, "https://a.co/" + 90 * "b", None, id="a long link counts as 23"),
        pytest.param(256, "http://a.co", None, id="and so does a short one"),
        pytest.param(
            257, "https://a.co/" + 90 * "b", "https://a.co/" + 90 * "b", id="one too many: the link is cut whole"
        ),
        pytest.param(257, "http://a.co", "http://a.co", id="though it would fit as it stands"),
    ],
)
def test_a_link_on_x_counts_as_23_characters(channels, chars, link, cut):
    found = breaches(channels["x"], chars * "a" + " " + link)
    assert found.get("spam.channel.x_max_chars") == cut


def test_hashtags_over_the_limit_are_pointed_at(channels):
    tags = [f"#t{i}" for i in range(channels["x"].max_hashtags + 2)]
    assert breaches(channels["x"], " ".join(tags)) == {"spam.channel.x_max_hashtags": " ".join(tags[-2:])}


def test_a_promotion_by_mail_needs_a_way_out(run):
    context = Context(channel="Email")
    text = "Get 20% off all lamps until Sunday."
    told = lambda text: "spam.channel.email_opt_out" in {h.cue for h in run(text, kind="post", context=context).hints}  # noqa: E731
    assert told(text)
    assert not told(text + " Unsubscribe here.")
    assert not told("The library is closed on Monday.")


def test_an_unknown_channel_has_no_rules(run):
    found = run(400 * "word ", kind="post", context=Context(channel="pigeon post")).analysis.matches
    assert not [m for m in found if m.cue.category == "spam.channel"]


def test_a_rule_without_a_source_is_a_fault(tmp_path):
    path = tmp_path / "channels.yaml"
    path.write_text(
        "x: {max_chars: 280, max_hashtags: null, max_links: null, links_dead: false, no_bait: false, opt_out: false, sources: {}}"
    )
    with pytest.raises(DataFault, match="public source"):
        load_channels(path)


# --- threads -------------------------------------------------------------------------------

ROUNDS = (
    Message("customer", "My lamp came broken and nobody answers."),
    Message("brand", "It left our house whole."),
    Message("customer", "It is broken! Stop telling me it was whole."),
    Message("brand", "Our packers checked it twice."),
    Message("customer", "Unbelievable. You are calling me a liar. I want my money back."),
)
ARGUES = "As we told you, the lamp left our house whole, and our records prove it."


def test_after_two_rounds_the_hint_is_to_stop_arguing(run):
    def told(text, thread):
        return "thread.argument" in {h.cue for h in run(text, context=Context(thread=thread)).hints}

    assert told(ARGUES, ROUNDS)
    assert not told(ARGUES, ROUNDS[:3])
    person = "You're right, and I'm sorry. Your money goes back today. Call me, Dana, on 555 0101."
    assert not told(person, ROUNDS)


def test_a_post_among_its_like_is_told_though_it_is_friendly(run):
    text = "Fresh bread every morning from seven at our little shop in Mill Lane."
    hints = run(text, kind="post", context=Context(recent_posts=(RecentPost(text),))).hints
    assert "spam.repetition.near_duplicate" in {h.cue for h in hints}


@pytest.mark.parametrize("text, fits", [(459 * "a", True), (460 * "a", False), (201 * "ש", True), (202 * "ש", False)])
def test_a_text_message_holds_less_of_arabic_and_hebrew(channels, text, fits):
    assert (breaches(channels["sms"], text) == {}) == fits
