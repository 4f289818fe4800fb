namespace ContinualNative.Host.Demo.World;

/// <summary>
/// What drift is drawn from. Nothing of it is in the corpus, for any seed: no name, no line, no label, no new word, and for no topic a later value.
/// </summary>
internal static class DriftReserve
{
    /// <summary>Product lines to come.</summary>
    public static IReadOnlyList<string> Lines { get; } = ["e-bikes", "drones", "camping", "nursery", "pets", "aquarium", "solar", "luggage"];

    /// <summary>Names of products to come.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "Velto", "Jarnix", "Quorra", "Fendola", "Zephyra", "Ostrix", "Kumbari", "Plivo", "Dravik", "Siroko", "Wendara", "Xalto", "Grombi", "Nuvelo", "Tarquin", "Ibexa", "Lofoten", "Cazimo", "Yarrow", "Hoplite",
        "Mirava", "Bluvian", "Skarpa", "Evoro", "Pandrel", "Rusko", "Ulmaris", "Finnock", "Gavotte", "Zindra", "Corvani", "Thuleo", "Maziko", "Oberix", "Juvanta", "Krelow", "Fjorden", "Pyxo", "Waldemo", "Alcyon",
    ];

    /// <summary>How customers refer to changed terms; "new terms" is not in the corpus.</summary>
    public static string NewTerms { get; } = "[Under|According to|With|By] [your|the] new terms";

    /// <summary>Wishes to come.</summary>
    public static IReadOnlyList<Intent> Intents { get; } =
    [
        new("trade_in",
        [
            "[What would you give me|How much do I get] for my used {p} [towards|against] a new one?", "[Can I|Could I|I want to] trade in my [old |used |]{p}[.|, how does that work?]", "[Is there|Do you have] a trade-in [program|offer] for [the|my] {p}?",
            "[I'd like|I would like] to trade my {p} for credit.",
        ]),
        new("recall",
        [
            "[Is|Could] my {p} [affected by|part of] the [safety |]recall?", "I [read|heard] [in the news|on the radio] that the {p} is being recalled.", "[What|Which] serial numbers of the {p} does the recall [cover|concern]?",
            "[The recall notice|Your recall letter] mentions the {p}, what [now|should I do]?",
        ]),
        new("gift_wrap",
        [
            "[Can you|Could you|Please] gift-wrap [my|the] {p}.", "[I'd like|I would like] the {p} in gift wrapping[.|, is that possible?]", "[How much is|Do you offer] gift wrapping for the {p}?", "The {p} is a gift, [can it be wrapped|please wrap it nicely].",
        ]),
        new("rental",
        [
            "[Can I|Could I|I want to] rent [a|the] {p} [for a weekend|for a week|for a party].", "[Do you|Does your shop] rent out the {p}?", "What does it cost to rent [a|the] {p} [per day|for a month]?", "I [only need|just need] the {p} [for a few days|once], is there a rental?",
        ]),
        new("recycling",
        [
            "[Where|How] can I recycle my [old |]{p}?", "[Do you|Does the shop] recycle [an old|a dead] {p}?", "My {p} is [ancient|beyond saving], where does it go for recycling?", "[I want to|How do I] dispose of my {p} [properly|responsibly], is there a recycling scheme?",
        ]),
        new("loyalty_points",
        [
            "[How many|Did I get] loyalty points [do I get |]for [my|the] {p}?", "The points for my {p} [were not credited|are not on my card].", "[Can I|May I] pay [the|a] {p} with my loyalty points?", "[My points|The bonus points] from the {p} [disappeared|have expired].",
        ]),
        new("bulk_order",
        [
            "We [are a school and |are a club and |]want [forty|fifty|a hundred] pieces of the {p}, is there a bulk [discount|price]?", "[Do you offer|What are your] wholesale prices for the {p}?", "Can I get a quote for [thirty|sixty|ninety] units of the {p}?", "[Our club|Our school|Our hotel] would buy the {p} in bulk.",
        ]),
        new("financing",
        [
            "[Can I|Could I] pay [my|the] {p} in instalments?", "[Do you offer|Is there] financing for the {p}?", "[What is|How high is] the monthly rate if I finance the {p}?", "[I'd like|I would like] to spread the price of the {p} over [six|twelve] months.",
        ]),
        new("engraving",
        [
            "[Can you|Could you] engrave [a name|initials|a date] on [my|the] {p}?", "[I'd like|I would like] [an engraving|my initials] on the {p}.", "[How much|What] does engraving the {p} cost?", "Is the {p} [available|possible] with an engraved [logo|motto]?",
        ]),
        new("waitlist",
        [
            "[Please|Can you] put me on the waitlist for the {p}.", "The {p} is sold out, [notify me|tell me] when it is [available|in stock] again.", "[How long is|Is there] a waiting list for the {p}?", "[I'd like|I would like] an alert once the {p} is back in stock.",
        ]),
    ];

    /// <summary>New words for what customers always wanted.</summary>
    public static IReadOnlyList<Wording> Wordings { get; } =
    [
        new("return", ["boomerang", "yeet"], ["[I wanna|Time to|Gonna] boomerang my {p}.", "[How do I|Can I] boomerang [this|the] {p}?", "[I wanna|Gonna] yeet [this|the] {p} straight to you.", "[How do I|Can I] yeet my {p}?"]),
        new("refund", ["reimburse", "clawback"], ["[Please|When will you] reimburse me for the {p}.", "[Why did nobody|You did not] reimburse my {p} yet.", "[I demand|I ask for] a clawback for the {p}.", "Where's the clawback on my {p}?"]),
        new("track_order", ["whereabouts", "eta"], ["[What are|Tell me] the whereabouts of my {p}[?|!]", "Any idea about the whereabouts of the {p}?", "[What's|Give me] the eta [of|for|on] my {p}[?|.]", "Any eta for the {p}?"]),
        new("cancel_order", ["scrub", "nix"], ["[Just|Please|Can you] nix the {p}.", "[We|I] need you to nix my {p}.", "[Just|Please|Can you] scrub the {p}.", "Scrub my {p}, [will you|please]?"]),
        new("repair", ["kaput", "bricked"], ["My {p} [went|is|is suddenly] kaput.", "[Totally|Completely] kaput, this {p}.", "My {p} [got|is|is totally] bricked.", "[Looks like|I think] I bricked my {p}."]),
        new("damaged", ["banjaxed", "mangled"], ["[Got|Received] a mangled {p} [today|from you].", "The courier mangled my {p}.", "[Got|Received] a banjaxed {p} [today|from you].", "My brand new {p} looks banjaxed."]),
        new("exchange", ["switcheroo", "flip"], ["[I need|Let's do|How about] a switcheroo of my {p}[.|?]", "Switcheroo for the {p}, [possible|okay]?", "[Let me|I'd rather] flip my {p} for a red one.", "Can we flip this {p}?"]),
        new("setup_help", ["onboard", "noob"], ["[Total|Complete] noob here with [my|the] {p}.", "[I am|I'm] a noob at the {p}.", "[How do I|Help me] onboard [my|the] {p}[?|.]", "[Struggling|Trying] to onboard the {p}."]),
        new("invoice", ["paperwork", "docket"], ["[Send|Forward] me the docket for the {p}.", "[No|Where's the] docket [with|for] my {p}[?|.]", "[Send|Forward] the paperwork for my {p}.", "[I need|Got no] paperwork for the {p}."]),
        new("missing_part", ["incomplete", "shortchanged"], ["My {p} [is|feels|arrived] incomplete.", "[Incomplete|An incomplete] {p}, really?", "I was shortchanged on [my|the] {p}.", "[Feeling|You] shortchanged [me |]with this {p}."]),
        new("change_address", ["reroute", "divert"], ["[Please|Can you] reroute my {p}.", "[I need|We need] the {p} rerouted.", "[Please|Can you] divert the {p}.", "Divert my {p} [to Leeds|to Cork|up north]."]),
        new("manual", ["howto", "booklet"], ["[Got|Is there] a howto for the {p}?", "[Send|Link] me the {p} howto.", "[Got|Is there] a booklet for my {p}?", "[Lost|Can't find] my {p} booklet."]),
    ];
}
