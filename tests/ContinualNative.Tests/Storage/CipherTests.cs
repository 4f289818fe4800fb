using System.Security.Cryptography;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class CipherTests
{
    private static readonly byte[] First = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
    private static readonly byte[] Second = [.. Enumerable.Range(0, 32).Select(i => (byte)(3 * i))];

    [Fact]
    public void What_was_encrypted_comes_back_only_with_its_key_and_context()
    {
        AesGcmTextCipher cipher = new(First, 1);
        byte[] encrypted = cipher.Encrypt("text"u8, "context"u8);
        Assert.Equal("text"u8, cipher.Decrypt(encrypted, "context"u8, 1));
        Assert.NotEqual(encrypted, cipher.Encrypt("text"u8, "context"u8));
        Assert.ThrowsAny<CryptographicException>(() => cipher.Decrypt(encrypted, "other"u8, 1));
        Assert.ThrowsAny<CryptographicException>(() => cipher.Decrypt(encrypted, "context"u8, 2));
        Assert.ThrowsAny<CryptographicException>(() => cipher.Decrypt(encrypted.AsSpan(0, 20), "context"u8, 1));
        Assert.ThrowsAny<CryptographicException>(() => new AesGcmTextCipher(Second, 1).Decrypt(encrypted, "context"u8, 1));
        encrypted[14] ^= 1;
        Assert.ThrowsAny<CryptographicException>(() => cipher.Decrypt(encrypted, "context"u8, 1));
    }

    [Fact]
    public void Keys_of_a_wrong_length_and_version_0_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new AesGcmTextCipher(new byte[16], 1));
        Assert.Throws<ArgumentException>(() => new AesGcmTextCipher(First, 0));
        Assert.Throws<ArgumentException>(() => new AesGcmTextCipher(First, 1, new Dictionary<int, byte[]> { [1] = Second }));
        Assert.Throws<ArgumentException>(() => new AesGcmTextCipher(First, 2, new Dictionary<int, byte[]> { [1] = [1, 2, 3] }));
    }

    [Fact]
    public async Task Texts_are_not_in_the_file_and_come_back_with_old_and_new_keys()
    {
        await using StoreFixture fixture = Open(o => o with { Cipher = new AesGcmTextCipher(First, 1) });
        await fixture.FillAsync(1, i => Request(i) with { Prompt = "short secret" });
        await fixture.ReopenAsync(o => o with { Cipher = new AesGcmTextCipher(Second, 2, new Dictionary<int, byte[]> { [1] = First }) });
        await fixture.Store.RecordAsync(Request(2) with { Prompt = "short secret" });
        await fixture.Store.RecordAsync(Label(2));
        await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Corrected, correction: "a correction"));
        foreach (int i in (int[])[1, 2])
        {
            StoredRequest stored = fixture.Store.Find(Id(i))!;
            Assert.Equal(("short secret", "Answer number " + i), (stored.Request.Prompt, stored.Request.LocalAnswer));
            Assert.Equal(Embedding(i), stored.Request.Embedding.ToArray());
        }
        Assert.Equal("a correction", fixture.Store.Find(Id(1))!.Outcomes[0].Correction);
        Assert.Equal("Teacher's answer to 2", fixture.Store.Find(Id(2))!.Labels[0].Answer);
        Assert.Equal(Embedding(2), Assert.Single(fixture.Store.KnownEmbeddings(9)).ToArray());
        await fixture.Store.DisposeAsync();
        byte[] file = await File.ReadAllBytesAsync(fixture.Options.Path, TestContext.Current.CancellationToken);
        Assert.True(file.AsSpan().IndexOf("short secret"u8) < 0);
        Assert.True(file.AsSpan().IndexOf("a correction"u8) < 0);
        Assert.True(file.AsSpan().IndexOf("support"u8) > 0);
    }

    [Fact]
    public async Task A_wrong_or_missing_key_is_found_when_the_store_is_opened()
    {
        await using StoreFixture fixture = Open(o => o with { Cipher = new AesGcmTextCipher(First, 1) });
        await fixture.FillAsync(1);
        await fixture.Store.DisposeAsync();
        foreach (ITextCipher? cipher in new ITextCipher?[] { null, new AesGcmTextCipher(Second, 1), new AesGcmTextCipher(Second, 2) })
        {
            Assert.Equal(StoreError.WrongKey, Assert.Throws<StoreException>(() => TrafficStore.Open(fixture.Options with { Cipher = cipher })).Error);
        }
    }

    [Fact]
    public async Task A_store_may_begin_to_encrypt_later()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        await fixture.ReopenAsync(o => o with { Cipher = new AesGcmTextCipher(First, 1) });
        await fixture.Store.RecordAsync(Request(2));
        await fixture.Store.FlushAsync();
        Assert.Equal("Answer number 1", fixture.Store.Find(Id(1))!.Request.LocalAnswer);
        Assert.Equal("Answer number 2", fixture.Store.Find(Id(2))!.Request.LocalAnswer);
    }

    [Fact]
    public async Task Texts_of_all_kinds_and_lengths_come_back_and_long_ones_get_smaller()
    {
        await using StoreFixture fixture = Open();
        string[] texts = ["", "a", "é", "\0", "🙂", new string('x', 47), new string('x', 48), string.Concat(Enumerable.Range(0, 4000).Select(i => $"Zeile {i % 50} mit Text. ")), Convert.ToBase64String(RandomBytes(90_000))];
        for (int i = 0; i < texts.Length; i++)
        {
            await fixture.Store.RecordAsync(Request(i + 1) with { Prompt = texts[i], LocalAnswer = texts[^(i + 1)] });
        }
        await fixture.Store.FlushAsync();
        for (int i = 0; i < texts.Length; i++)
        {
            Assert.Equal(texts[i], fixture.Store.Find(Id(i + 1))!.Request.Prompt);
        }
        Assert.True(fixture.Store.Statistics.Bytes < 1_200_000);
    }

    private static byte[] RandomBytes(int count)
    {
        byte[] bytes = new byte[count];
        new Random(2).NextBytes(bytes);
        return bytes;
    }
}
