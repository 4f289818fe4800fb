namespace ContinualNative.Host.Demo.World;

/// <summary>The shop as it is before any drift, equal for all seeds: what the corpus tells of.</summary>
internal static class KnownWorld
{
    /// <summary>Product lines, the most asked about first.</summary>
    public static IReadOnlyList<string> Lines { get; } = ["kitchen", "audio", "lighting", "garden", "fitness", "office"];

    /// <summary>Six products of each line.</summary>
    public static IReadOnlyList<Product> Products { get; } =
    [
        .. Of("kitchen", "Brava", "Tilmo", "Copperly", "Nessari", "Whiskon", "Orfeo"),
        .. Of("audio", "Sonavi", "Belltone", "Murmur", "Echora", "Tunelle", "Basswick"),
        .. Of("lighting", "Lumora", "Glimmet", "Candelo", "Brightwell", "Halovar", "Dimsey"),
        .. Of("garden", "Mossway", "Verdano", "Rakelle", "Sprinkova", "Hedgemar", "Tulipa"),
        .. Of("fitness", "Stridon", "Pulsero", "Gripmax", "Yogani", "Rowella", "Kettlar"),
        .. Of("office", "Deskadi", "Paperino", "Clipsa", "Monitra", "Staplon", "Inkwell"),
    ];

    /// <summary>What customers want, the most frequent first.</summary>
    public static IReadOnlyList<Intent> Intents { get; } =
    [
        new("return",
        [
            "[I want|I would like|I need] to [return|send back] [my|the|this] {p}.", "[How|Where] [can|do] I [return|send back] [my|the|a] {p}?", "[Please|Can you] [send me|email me] a return label for [my|the] {p}[.|, please.]",
            "The {p} [is not for me|is not what I expected|does not suit me], [how do I send it back|I want to return it|can I return it]?", "[I changed my mind about|I don't like] [my|the] {p} and [want|would like] to [return it|send it back].",
        ]),
        new("track_order",
        [
            "[Where is|Where's] my {p}[?| right now?| at the moment?]", "[When will|When does] [my|the] {p} [arrive|get here]?", "[I am still|Still] waiting for [my|the] {p}[.|, has it been sent?|, when does it come?]",
            "[Can you|Please] [track|check on] my {p} [delivery|parcel|package].", "[The tracking|The status] of [my|the] {p} [has not changed|has not moved] [for days|since Monday|all week].",
        ]),
        new("repair",
        [
            "My {p} [stopped working|is broken|no longer works|does not turn on|won't start][.| since yesterday.| after two months.]", "[Can you|Do you|Could somebody] [repair|fix] [my|a] {p}?", "[I need|I would like] [a repair|a technician] for my {p}.",
            "The {p} [makes a strange noise|keeps switching off|gets far too hot][.|, can it be fixed?|, please repair it.]",
        ]),
        new("refund",
        [
            "[When|Where] [will I get|do I get|is] [my money back|my refund|the refund] for the {p}?", "[I have not|I still haven't] [received|seen] [my|the] refund for [my|the] {p}.", "[I want|I would like|Please give me] [a refund|my money back] for [my|the] {p}.",
            "You [charged me twice|took the money twice] for [my|the] {p}[.|, please pay it back.]", "The {p} [went back|was picked up] [last week|ten days ago] but [there is no refund|no money has come back].",
        ]),
        new("damaged",
        [
            "My {p} [arrived|came|was delivered] [damaged|cracked|scratched|in pieces|with a dent].", "The [box|parcel] was [crushed|open] and the {p} [is damaged|is cracked|has scratches].", "There is [a crack|a scratch|a dent|a hole] in my new {p}.",
            "[I opened|We opened] the box and the {p} was [scratched|cracked|damaged|bent].",
        ]),
        new("cancel_order",
        [
            "[Please|Can you|I need to|I want to] cancel my [order of the {p}|{p} order].", "[I ordered|We ordered] [a|the] {p} by mistake[, please cancel it|, cancel it please|, can you stop the order]?", "[Is it too late|Can I still|Is it possible] to [cancel|stop] [my|the] {p} order?",
            "I [no longer|don't] need the {p} I ordered [today|this morning|yesterday], please [cancel|stop] it.",
        ]),
        new("setup_help",
        [
            "[How do I|How can I|I can't] [set up|install|connect] [my|the] {p}[?| at home?]", "[I need|Could I get] help [setting up|installing|connecting] [my|the] {p}.", "The {p} [does not connect|won't pair|does not show up] [to|with] [my phone|the app|the wifi].",
            "[Which|What] [cable|app|settings] do I need [to connect|to start with] the {p}?",
        ]),
        new("exchange",
        [
            "[I want|I would like|Can I] [to |]exchange my {p} for [another one|a bigger one|a smaller one|another colour].", "[Could you|Can you] [swap|exchange] [my|the] {p} for [a different size|the blue one|the black one|the next size]?",
            "The {p} [is too small|is too big|has the wrong colour][, can I exchange it|, I want to swap it|, please swap it].", "[You sent|I received] [the wrong|another] [size|colour] of the {p}, [I want to exchange it|can I swap it].",
        ]),
        new("missing_part",
        [
            "[There is|There was] [a part|a screw|a cable|the lid|a handle] missing from my {p}.", "My {p} came without [the charger|the lid|its cable|the screws|a handle].", "[The box|The package] of the {p} [was missing|did not include|had no] [the screws|the charger|a lid|the cable].",
            "[I can't find|Where is] the [charger|lid|cable|handle] [that belongs to|of] the {p}[.|, it was not in the box.]",
        ]),
        new("invoice",
        [
            "[I need|Please send me|Can I get|Could you send] [an|the] invoice for my {p}.", "[Where is|Where can I find] the [invoice|receipt|bill] for [my|the] {p}?", "[My boss|The tax office|My company|Accounting] [needs|wants] [an invoice|a receipt] for the {p}.",
            "The invoice [for|of] the {p} [has the wrong name|shows the wrong amount|is missing].",
        ]),
        new("change_address",
        [
            "[Please|Can you] send my {p} to [another|a different|my new] address.", "[I moved|We moved|I am moving], [please change|can you change|how do I change] the address for my {p}[.| order.]", "[I gave|I typed] the wrong [address|street|postcode] for [my|the] {p}.",
            "[Deliver|Ship] the {p} to [my office|my parents|my neighbour] instead.",
        ]),
        new("manual",
        [
            "[Where can I find|Where is|I lost|Do you have] the [manual|user guide|instructions] for [my|the] {p}[?| please.]", "[Can you|Please] [send|email] me the [manual|instructions] of the {p}.", "The {p} [came with|has] no [manual|instructions][.|, where do I get one?]",
            "Is there [a PDF|an English version|a newer version] of the {p} manual?",
        ]),
    ];

    /// <summary>The shop's terms.</summary>
    public static IReadOnlyList<Policy> Policies { get; } =
    [
        new("return window", "30 days", ["14 days", "45 days"], ["[How long|How many days] do I have to [return|send back] [something|an item|a product]?", "What is [your|the] return [window|period|deadline]?", "[Until when|By when] [can|must] I [return|send back] [things|an order]?"]),
        new("standard shipping", "4.90 EUR", ["5.90 EUR", "3.50 EUR"], ["[How much|What] [is|does] [standard shipping|normal delivery] [cost|with you]?", "What do you [charge|take] for [shipping|delivery]?", "[How expensive is|What are the costs of] [shipping|standard delivery]?"]),
        new("free shipping", "from 50 EUR", ["from 80 EUR", "from 35 EUR"], ["[From what|At what|From which] [amount|order value] is [shipping|delivery] free?", "[How much|What] do I have to [spend|order for] to get free [shipping|delivery]?", "When [is|do I get] [shipping|delivery] [free of charge|for free]?"]),
        new("express shipping", "9.90 EUR", ["12.90 EUR", "7.50 EUR"], ["[How much|What] [is|does] express [shipping|delivery] [cost|with you]?", "What do you [charge|take] for [express|next day] delivery?", "[I need it tomorrow|I need it fast], what does [express|the express option] cost?"]),
        new("delivery time", "3 working days", ["2 working days", "5 working days"], ["How long does [delivery|shipping] [take|usually take]?", "[How many days|How long] until [a parcel|an order] arrives?", "How [fast|quickly] do you [deliver|ship]?"]),
        new("warranty", "24 months", ["36 months", "18 months"], ["[How long|For how long] is [the|your] [warranty|guarantee]?", "[How long|How many months] does the [warranty|guarantee] last?", "What [warranty|guarantee] do you [give|offer]?"]),
        new("refund time", "5 working days", ["10 working days", "3 working days"], ["How long [does|will] a refund take?", "[How many days|How long] until I [get|have] my money back?", "When [is|will] the money [be |]back in my account after a return?"]),
        new("repair time", "2 weeks", ["3 weeks", "1 week"], ["How long does a repair take?", "[How many weeks|How long] [are|do] repairs [usually|normally|at the moment]?", "When do I get [something|an item] back from [repair|the workshop]?"]),
        new("restocking fee", "none", ["10 percent", "5 EUR"], ["[Do you charge|Is there] a [restocking|return handling] fee?", "[How high|What] is the restocking fee?", "What do you [keep|deduct] when I return an opened [item|box]?"]),
        new("price match", "7 days", ["14 days", "21 days"], ["[How long|For how many days] after [buying|my order] do you match [a lower price|prices]?", "[Do you match lower prices|Do you do price matching], and for how long?", "Until when can I ask for a price match?"]),
        new("voucher validity", "2 years", ["3 years", "1 year"], ["How long [is|are] [a voucher|vouchers] valid?", "When [does my voucher|do vouchers] expire?", "[How many years|How long] can I use [my|a] voucher?"]),
        new("opening hours", "8 to 18", ["9 to 17", "7 to 20"], ["[When|At what times] [is|are] your [hotline|support|phone line] open?", "[What are|Tell me] your opening hours[?|, please.]", "[When can I|From when until when can I] [call|phone] you?"]),
        new("payment term", "14 days", ["30 days", "7 days"], ["[How long|How many days] do I have to pay [an invoice|by invoice]?", "What is the [payment term|payment deadline] [on|for] invoices?", "By when [must|do] I have to pay [the bill|an invoice]?"]),
        new("pickup hold", "6 days", ["10 days", "4 days"], ["How long do you [keep|hold] [a parcel|my order] at the pickup point?", "[How many days|How long] does [a parcel|an order] stay at the [pickup point|parcel shop]?", "Until when [can|must] I [collect|pick up] my parcel?"]),
    ];

    private static Product[] Of(string line, params string[] names) => [.. names.Select(n => new Product(n, line))];
}
