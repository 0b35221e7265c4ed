// SPDX-License-Identifier: GPL-2.0-only
//! The types of H.245, in the notation of [`schema`](super::schema).

/// H.245: media control.
pub(super) const TYPES: &str = "\
Identifier
 object . oid
 h221NonStandard . seq 0 3 3 H221NonStandard
NonStandard
 nonStandardIdentifier . choice 1 2 2 Identifier
 data . oct len 0
H261
 qcifMPI ? int 2 1
 cifMPI ? int 2 1
 temporalSpatialTradeOffCapability . bool
 maxBitRate . int word 1
 stillImageTransmission . bool
 skip 1
H262
 profileAndLevel-SPatML . bool
 profileAndLevel-MPatLL . bool
 profileAndLevel-MPatML . bool
 profileAndLevel-MPatH-14 . bool
 profileAndLevel-MPatHL . bool
 profileAndLevel-SNRatLL . bool
 profileAndLevel-SNRatML . bool
 profileAndLevel-SpatialatH-14 . bool
 profileAndLevel-HPatML . bool
 profileAndLevel-HPatH-14 . bool
 profileAndLevel-HPatHL . bool
 videoBitRate ? int cons 0
 vbvBufferSize ? int cons 0
 samplesPerLine ? int word 0
 linesPerFrame ? int word 0
 framesPerSecond ? int 4 0
 luminanceSampleRate ? int cons 0
 skip 1
H263
 sqcifMPI ? int 5 1
 qcifMPI ? int 5 1
 cifMPI ? int 5 1
 cif4MPI ? int 5 1
 cif16MPI ? int 5 1
 maxBitRate . int cons 1
 unrestrictedVector . bool
 arithmeticCoding . bool
 advancedPrediction . bool
 pbFrames . bool
 temporalSpatialTradeOffCapability . bool
 hrd-B ? int cons 0
 bppMaxKb ? int word 0
 skip 8
IS11172Video
 constrainedBitstream . bool
 videoBitRate ? int cons 0
 vbvBufferSize ? int cons 0
 samplesPerLine ? int word 0
 linesPerFrame ? int word 0
 pictureRate ? int 4 0
 luminanceSampleRate ? int cons 0
 skip 1
Video
 nonStandard . seq 0 2 2 NonStandard
 h261VideoCapability + seq 2 5 6 H261
 h262VideoCapability + seq 6 17 18 H262
 h263VideoCapability + seq 7 13 21 H263
 is11172VideoCapability + seq 6 7 8 IS11172Video
 skip 1
G7231
 maxAl-sduAudioFrames . int byte 1
 silenceSuppression . bool
IS11172Audio
 audioLayer1 . bool
 audioLayer2 . bool
 audioLayer3 . bool
 audioSampling32k . bool
 audioSampling44k1 . bool
 audioSampling48k . bool
 singleChannel . bool
 twoChannels . bool
 bitRate . int word 1
IS13818Audio
 audioLayer1 . bool
 audioLayer2 . bool
 audioLayer3 . bool
 audioSampling16k . bool
 audioSampling22k05 . bool
 audioSampling24k . bool
 audioSampling32k . bool
 audioSampling44k1 . bool
 audioSampling48k . bool
 singleChannel . bool
 twoChannels . bool
 threeChannels2-1 . bool
 threeChannels3-0 . bool
 fourChannels2-0-2-0 . bool
 fourChannels2-2 . bool
 fourChannels3-1 . bool
 fiveChannels3-0-2-0 . bool
 fiveChannels3-2 . bool
 lowFrequencyEnhancement . bool
 multilingual . bool
 bitRate . int word 1
Audio
 nonStandard . seq 0 2 2 NonStandard
 g711Alaw64k . int byte 1
 g711Alaw56k . int byte 1
 g711Ulaw64k . int byte 1
 g711Ulaw56k . int byte 1
 g722-64k . int byte 1
 g722-56k . int byte 1
 g722-48k . int byte 1
 g7231 . seq 0 2 2 G7231
 g728 . int byte 1
 g729 . int byte 1
 g729AnnexA . int byte 1
 is11172AudioCapability + seq 0 9 9 IS11172Audio
 is13818AudioCapability + seq 0 21 21 IS13818Audio
 skip 8
DataProtocol
 nonStandard . seq 0 2 2 NonStandard
 v14buffered . null
 v42lapm . null
 hdlcFrameTunnelling . null
 h310SeparateVCStack . null
 h310SingleVCStack . null
 transparent . null
 segmentationAndReassembly . null
 hdlcFrameTunnelingwSAR . null
 v120 . null
 separateLANStack . null
 skip 3
T84Restricted
 qcif . bool
 cif . bool
 ccir601Seq . bool
 ccir601Prog . bool
 hdtvSeq . bool
 hdtvProg . bool
 g3FacsMH200x100 . bool
 g3FacsMH200x200 . bool
 g4FacsMMR200x100 . bool
 g4FacsMMR200x200 . bool
 jbig200x200Seq . bool
 jbig200x200Prog . bool
 jbig300x300Seq . bool
 jbig300x300Prog . bool
 digPhotoLow . bool
 digPhotoMedSeq . bool
 digPhotoMedProg . bool
 digPhotoHighSeq . bool
 digPhotoHighProg . bool
T84Profile
 t84Unrestricted . null
 t84Restricted + seq 0 19 19 T84Restricted
T84
 t84Protocol + choice 3 7 14 DataProtocol
 t84Profile . choice 1 2 2 T84Profile
Nlpid
 nlpidProtocol + choice 3 7 14 DataProtocol
 nlpidData . oct len 0
Application
 nonStandard . seq 0 2 2 NonStandard
 t120 !+ choice 3 7 14 DataProtocol
 dsm-cc + choice 3 7 14 DataProtocol
 userData + choice 3 7 14 DataProtocol
 t84 . seq 0 2 2 T84
 t434 + choice 3 7 14 DataProtocol
 h224 + choice 3 7 14 DataProtocol
 nlpid . seq 0 2 2 Nlpid
 dsvdControl . null
 h222DataPartitioning + choice 3 7 14 DataProtocol
 skip 4
DataApplication
 application !+ choice 4 10 14 Application
 maxBitRate . int cons 0
EncryptionMode
 nonStandard . seq 0 2 2 NonStandard
 h233Encryption . null
DataType
 nonStandard . seq 0 2 2 NonStandard
 nullData . null
 videoData + choice 3 5 6 Video
 audioData + choice 4 14 22 Audio
 data !+ seq 0 2 2 DataApplication
 encryptionData + choice 1 2 2 EncryptionMode
 skip 3
H222
 resourceID . int word 0
 subChannelID . int word 0
 pcr-pid ? int word 0
 programDescriptors ? oct len 0
 streamDescriptors ? oct len 0
Al3
 controlFieldOctets . int 2 0
 sendBufferSize . int cons 0
AdaptationLayer
 nonStandard . seq 0 2 2 NonStandard
 al1Framed . null
 al1NotFramed . null
 al2WithoutSequenceNumbers . null
 al2WithSequenceNumbers . null
 al3 . seq 0 2 2 Al3
 skip 3
H223
 adaptationLayerType + choice 3 6 9 AdaptationLayer
 segmentableFlag . bool
ThreeNulls
 first . null
 second . null
 third . null
V76Hdlc
 crcLength + choice 2 3 3 ThreeNulls
 n401 . int word 1
 loopbackTestProcedure . bool
Erm
 windowSize . int 7 1
 recovery + choice 2 3 3 ThreeNulls
V76Mode
 eRM + seq 0 2 2 Erm
 uNERM . null
V75
 audioHeaderPresent . bool
V76
 hdlcParameters + seq 0 3 3 V76Hdlc
 suspendResume + choice 2 3 3 ThreeNulls
 uIH . bool
 mode + choice 1 2 2 V76Mode
 v75Parameters + seq 0 1 1 V75
UnicastSourceRoute
 routing . choice 1 2 2 TwoNulls
 network . oct fixed 4
 tsapIdentifier . int word 0
 route . of len 0 hop . oct fixed 4
UnicastAddress
 iPAddress !+ seq 0 2 2 IpAddress
 iPXAddress + seq 0 3 3 IpxAddress
 iP6Address !+ seq 0 2 2 Ip6Address
 netBios . oct fixed 16
 iPSourceRouteAddress + seq 0 4 4 UnicastSourceRoute
 skip 2
MulticastIp
 network . oct fixed 4
 tsapIdentifier . int word 0
MulticastIp6
 network . oct fixed 16
 tsapIdentifier . int word 0
MulticastAddress
 iPAddress + seq 0 2 2 MulticastIp
 iP6Address + seq 0 2 2 MulticastIp6
 skip 2
MediaAddress
 unicastAddress !+ choice 3 5 7 UnicastAddress
 multicastAddress + choice 1 2 4 MulticastAddress
H2250
 nonStandard ? of len 0 item . seq 0 2 2 NonStandard
 sessionID . int byte 0
 associatedSessionID ? int 8 1
 mediaChannel !+? choice 1 2 2 MediaAddress
 mediaGuaranteedDelivery ? bool
 mediaControlChannel !+? choice 1 2 2 MediaAddress
 mediaControlGuaranteedDelivery #? bool
ForwardMultiplex
 h222LogicalChannelParameters + seq 3 5 5 H222
 h223LogicalChannelParameters + seq 0 2 2 H223
 v76LogicalChannelParameters + seq 0 5 5 V76
 h2250LogicalChannelParameters !+ seq 10 11 14 H2250
 none . null
Forward
 portNumber ? int word 0
 dataType !+ choice 3 6 9 DataType
 multiplexParameters !+ choice 2 3 5 ForwardMultiplex
 skip 2
ReverseMultiplex
 h223LogicalChannelParameters + seq 0 2 2 H223
 v76LogicalChannelParameters + seq 0 5 5 V76
 h2250LogicalChannelParameters !+ seq 10 11 14 H2250
Reverse
 dataType + choice 3 6 9 DataType
 multiplexParameters !+? choice 1 2 3 ReverseMultiplex
 skip 2
Q2931Number
 internationalNumber . num 4 1
 nsapAddress . oct 5 1
Q2931Address
 address + choice 1 2 2 Q2931Number
 subaddress ? oct 5 1
NetworkAddress
 q2931Address + seq 1 2 2 Q2931Address
 e164Address . num 7 1
 localAreaAddress !+ choice 1 2 2 MediaAddress
SeparateStack
 distribution +? choice 1 2 2 TwoNulls
 networkAddress !+ choice 2 3 3 NetworkAddress
 associateConference . bool
 externalReference ? oct 8 1
 skip 1
OpenLogicalChannel
 forwardLogicalChannelNumber . int word 1
 forwardLogicalChannelParameters !+ seq 1 3 5 Forward
 reverseLogicalChannelParameters !+? seq 1 2 4 Reverse
 separateStack !+? seq 2 4 5 SeparateStack
 encryptionSync #? null
RequestMessage
 nonStandard # null
 masterSlaveDetermination # null
 terminalCapabilitySet # null
 openLogicalChannel !+ seq 1 3 5 OpenLogicalChannel
 closeLogicalChannel # null
AckReverseMultiplex
 h222LogicalChannelParameters + seq 3 5 5 H222
 h2250LogicalChannelParameters !+ seq 10 11 14 H2250
AckReverse
 reverseLogicalChannelNumber . int word 1
 portNumber ? int word 0
 multiplexParameters !+? choice 0 1 2 AckReverseMultiplex
 skip 1
H2250Ack
 nonStandard ? of len 0 item . seq 0 2 2 NonStandard
 sessionID ? int 8 1
 mediaChannel !+? choice 1 2 2 MediaAddress
 mediaControlChannel !+? choice 1 2 2 MediaAddress
 dynamicRTPPayloadType ? int 5 96
 skip 2
AckMultiplex
 h2250LogicalChannelAckParameters !+ seq 5 5 7 H2250Ack
OpenLogicalChannelAck
 forwardLogicalChannelNumber . int word 1
 reverseLogicalChannelParameters !+? seq 2 3 4 AckReverse
 separateStack !+? seq 2 4 5 SeparateStack
 forwardMultiplexAckParameters !+? choice 0 1 1 AckMultiplex
 encryptionSync #? null
ResponseMessage
 nonStandard # null
 masterSlaveDeterminationAck # null
 masterSlaveDeterminationReject # null
 terminalCapabilitySetAck # null
 terminalCapabilitySetReject # null
 openLogicalChannelAck !+ seq 1 2 5 OpenLogicalChannelAck
 openLogicalChannelReject # null
MultimediaSystemControlMessage
 request !+ choice 4 11 15 RequestMessage
 response !+ choice 5 19 24 ResponseMessage
 command # null
 indication # null
";
