using Iced.Intel;

namespace CooperativeLinux.Processor.Decoding;

/// <summary>Feeds a decoder with bytes of one page, then of the next where that is known.</summary>
internal sealed unsafe class PageReader : CodeReader
{
    private byte* _next;
    private int _left;
    private byte* _second;
    private int _secondLeft;

    public void Set(byte* first, int firstLength, byte* second, int secondLength)
    {
        _next = first;
        _left = firstLength;
        _second = second;
        _secondLeft = secondLength;
    }

    public override int ReadByte()
    {
        if (_left > 0)
        {
            _left--;
            return *_next++;
        }

        if (_secondLeft > 0)
        {
            _next = _second;
            _left = _secondLeft - 1;
            _secondLeft = 0;
            return *_next++;
        }

        return -1;
    }
}
